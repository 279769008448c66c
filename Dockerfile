# Both programs, built from source, in an image without a compiler and without root.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p plimsoll -p plimsoll-demo-target \
 && install -D -t /out target/release/plimsoll target/release/plimsoll-demo-target

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /var/lib/plimsoll --create-home plimsoll
COPY --from=build /out/ /usr/local/bin/
# `answers PORT PATH` is the health check: no curl is installed for it.
COPY --chmod=755 deploy/answers /usr/local/bin/answers
USER plimsoll
WORKDIR /var/lib/plimsoll
VOLUME /var/lib/plimsoll
ENTRYPOINT ["plimsoll"]
CMD ["serve"]
