# A hospital's node, with what trains and reads images. Build from the repository's root:
#   docker build -f deployment/compose/node.Dockerfile -t consilium-node .
FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home consilium
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY aggregator aggregator
COPY deployment deployment
COPY hospital_node hospital_node
COPY schemas schemas
RUN pip install --no-cache-dir --constraint constraints.txt ".[node,pacs]" && rm -rf /src
WORKDIR /home
RUN install -d -o consilium -m 0700 /home/node
USER consilium
ENTRYPOINT ["hospital-node"]
CMD ["serve", "--home", "/home/node"]
