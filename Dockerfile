# docker build -t untrained .
# docker run --rm -v "$PWD":/data untrained reconstruct denoise photo.png
# With CUDA: docker build -t untrained:cuda --build-arg TORCH=https://download.pytorch.org/whl/cu126 .
#            docker run --rm --gpus all -v "$PWD":/data untrained:cuda reconstruct mri scan.h5
FROM python:3.11-slim
ARG TORCH=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PYTHONUNBUFFERED=1
# Torch first, of the kind that was asked for; CUDA's libraries come with its wheel.
RUN pip install --index-url "$TORCH" "torch>=2.6,<2.14"
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY untrained untrained
RUN pip install ".[mri,medical]" && rm -rf /source
RUN useradd --create-home user
USER user
WORKDIR /data
ENTRYPOINT ["untrained"]
CMD ["--help"]
