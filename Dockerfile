# docker build --target test .          installs the package and runs all tests
# docker build --tag rnnpt-serving .    trains, exports, and bakes the model into TF Serving

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 TF_CPP_MIN_LOG_LEVEL=2
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY rnnpt rnnpt
RUN pip install --constraint constraints.txt .

FROM build AS test
# One of the tests runs make, which the slim image has not.
RUN apt-get update && apt-get install --yes --no-install-recommends make
COPY . .
RUN pip install --constraint constraints.txt --editable '.[test]'
RUN python -m pytest

FROM build AS model
# A named configuration of `rnnpt train`; the chorales need no download.
ARG CONFIG=rnn_rbm_chorales
RUN rnnpt train --config "$CONFIG" --run_dir /runs/chorales
RUN rnnpt export --run_dir /runs/chorales --export_dir /models/chorales --verify

FROM tensorflow/serving:2.20.0 AS serve
COPY serving/models.config serving/monitoring.config /etc/rnnpt/
COPY --from=model --chown=10001:10001 /models/chorales /models/chorales
USER 10001:10001
EXPOSE 8500 8501
# The image has neither curl nor wget. The metadata route answers 404 while nothing can be served.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8501; printf 'GET /v1/models/chorales/metadata HTTP/1.0\\r\\n\\r\\n' >&3; head -n 1 <&3 | grep -q ' 200 '"]
# The server itself and not the image's shell script, which would keep SIGTERM to itself.
ENTRYPOINT ["tensorflow_model_server", \
    "--port=8500", \
    "--rest_api_port=8501", \
    "--rest_api_timeout_in_ms=2000", \
    "--model_config_file=/etc/rnnpt/models.config", \
    "--monitoring_config_file=/etc/rnnpt/monitoring.config", \
    "--tensorflow_intra_op_parallelism=2", \
    "--tensorflow_inter_op_parallelism=2", \
    "--max_num_load_retries=0", \
    "--enable_profiler=false"]
