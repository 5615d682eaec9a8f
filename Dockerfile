# A bundle as a container that serves it:
#   evenhand export results/quick --task telco_churn --out bundle
#   docker build --build-arg BUNDLE=bundle --tag churn .
#   docker run --rm --publish 8000:8000 --volume "$PWD/token:/run/secrets/token:ro" churn
# Name the base by digest (FROM …@sha256:…) where a build must be the same for ever; a tag may be moved.
FROM python:3.11.13-slim-bookworm

ARG BUNDLE=bundle
# What the model needs beside: "deploy" for linear models and forests, "deploy,cpu" for XGBoost and networks, "deploy,boosting" for LightGBM
# and CatBoost, "deploy,images" for pictures.
ARG EXTRAS=deploy,cpu

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 \
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3

# libgomp: scikit-learn, XGBoost and LightGBM compute with it.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin evenhand

COPY pyproject.toml README.md LICENSE evenhand.py /src/
COPY harness /src/harness
COPY tasks /src/tasks
COPY searchspaces /src/searchspaces
COPY ${BUNDLE} /bundle

# The versions with which the model was fitted, as the bundle says them: others may load it and answer otherwise.
RUN python -c "import json; v = json.load(open('/bundle/bundle.json'))['versions']; \
print(*(f'{name}=={version}' for name, version in v.items() if name not in ('python', 'evenhand', 'harness')), sep='\n')" > /src/pins.txt \
    && pip install --constraint /src/pins.txt "/src[${EXTRAS}]" \
    && rm -rf /src && chmod -R a+rX /bundle

USER 10001
EXPOSE 8000
ENV PORT=8000 TOKEN_FILE=/run/secrets/token

HEALTHCHECK --interval=10s --timeout=3s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['PORT']}/health\", timeout=2)"]

# Where a platform hands secrets over as variables and not as files, TOKEN is written to a file that only this user reads.
# `exec`: SIGTERM must reach the service, which answers what is in flight before it ends.
CMD ["sh", "-c", "if [ -n \"$TOKEN\" ]; then TOKEN_FILE=/tmp/token; (umask 077; printf %s \"$TOKEN\" > $TOKEN_FILE); unset TOKEN; fi; \
exec evenhand serve /bundle --host 0.0.0.0 --port \"$PORT\" --token-file \"$TOKEN_FILE\""]
