# burngate in a small image: a static-enough binary, its configuration, no shell.
#   docker build -t burngate . && docker run -p 4317:4317 -p 4318:4318 -p 9464:9464 -p 8055:8055 burngate
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock rustfmt.toml clippy.toml ./
COPY proto proto
COPY src src
COPY config config
COPY benches benches
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --bin burngate && cp target/release/burngate /burngate && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /burngate /usr/bin/burngate
COPY --from=build /src/config/container.yaml /etc/burngate/gateway.yaml
COPY --from=build --chown=nonroot:nonroot /data /var/lib/burngate
ENV BURNGATE_DATA_DIR=/var/lib/burngate
EXPOSE 4317 4318 8055 9464 13133
VOLUME /var/lib/burngate
ENTRYPOINT ["/usr/bin/burngate"]
CMD ["run", "--config", "/etc/burngate/gateway.yaml"]
