# CPU only. Without ROS: `mono-depth run`, `batch`, `space` and the other commands.
#
#   docker build -t mono-depth .
#   docker run --rm --user "$(id -u)" -v "$PWD:/data" mono-depth run /data/photo.jpg /data/depth
FROM python:3.12-slim

RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/*
COPY ros2_ws/src/mono_depth_ros /opt/mono_depth_ros
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu \
    "/opt/mono_depth_ros[bag,openvino,video]"

ENV MONO_DEPTH_WEIGHTS=/weights
VOLUME /weights
WORKDIR /data
ENTRYPOINT ["mono-depth"]
CMD ["--help"]
