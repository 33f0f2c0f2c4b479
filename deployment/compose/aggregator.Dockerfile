# The aggregator: the base install, without torch. Build from the repository's root:
#   docker build -f deployment/compose/aggregator.Dockerfile -t consilium-aggregator .
FROM python:3.11-slim
RUN useradd --system --uid 10001 --create-home consilium
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY aggregator aggregator
COPY deployment deployment
COPY hospital_node hospital_node
COPY schemas schemas
RUN pip install --no-cache-dir --constraint constraints.txt . && rm -rf /src
WORKDIR /home
RUN install -d -o consilium -m 0700 /home/federation
USER consilium
EXPOSE 8443
ENTRYPOINT ["aggregator"]
CMD ["serve", "--home", "/home/federation", "--listen", "0.0.0.0:8443"]
