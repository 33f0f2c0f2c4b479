"""Where images come from: a folder, a PACS, or DICOMweb, each as a folder that ingest reads."""

from hospital_node.cohort.sources.folder import folder_files
from hospital_node.cohort.sources.listing import Listing

__all__ = ["Listing", "folder_files"]
