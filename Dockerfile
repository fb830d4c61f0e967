# The engine and a trainer (PyTorch, Lightning, scikit-learn) in one image.
#
#   docker build -t hpo-engine .
#   docker run --rm --init --user "$(id -u):$(id -g)" -v "$PWD:/work" hpo-engine submit algo.yaml
#
# /work is where the engine starts: mount the folder with your algo.yaml and script there. The study lands beside them,
# in hpo-runs/, and outlives the container: the same command goes on where a killed one stood. For GPUs add
# `--gpus all`. Without --user it runs as `hpo` (uid 1000), which then must be able to write to the mounted folder.
#
# TORCH_INDEX chooses the torch wheel. Empty: the one that pip's own index has for this platform, which runs on the CPU
# everywhere (on x86-64 it is large, as it brings CUDA along). For a small CPU-only image, or for another CUDA version:
#
#   docker build --build-arg TORCH_INDEX=<the index of PyTorch's CPU wheels, or of its CUDA wheels> -t hpo-engine .

FROM python:3.11-slim

ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore

# Before the sources, so that a change of the engine does not install torch again.
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY engine ./engine
COPY trainees ./trainees
RUN pip install --no-cache-dir ".[lightning,tensorboard]"

RUN useradd --create-home --uid 1000 hpo && mkdir /work && chown hpo:hpo /work
USER hpo
WORKDIR /work
VOLUME ["/work"]

ENTRYPOINT ["hpo-engine"]
CMD ["--help"]
