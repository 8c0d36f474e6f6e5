# syntax=docker/dockerfile:1
FROM ghcr.io/astral-sh/uv:0.13 AS uv

FROM python:3.13-slim AS build
COPY --from=uv /uv /usr/local/bin/uv
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/kabar
WORKDIR /source
# The packages first: they change less often than the code.
COPY pyproject.toml uv.lock README.md ./
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra traces --no-install-project
COPY schemas schemas
COPY worker worker
RUN --mount=type=cache,target=/root/.cache/uv uv sync --locked --no-dev --extra traces --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin kabar
COPY --from=build /opt/kabar /opt/kabar
ENV PATH=/opt/kabar/bin:$PATH PYTHONUNBUFFERED=1 KABAR_HTTP_HOST=0.0.0.0
USER 10001:10001
EXPOSE 8600
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["kabar", "health"]
ENTRYPOINT ["kabar"]
CMD ["run"]
