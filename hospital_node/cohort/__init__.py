"""From a source of DICOM to a cohort that training can open."""
