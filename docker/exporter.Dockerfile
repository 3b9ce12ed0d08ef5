# The exporter: trains, exports and publishes. As in engine.Dockerfile there is no shell in it.
#
#   docker build --file docker/exporter.Dockerfile --tag onnward/exporter .
#
# The stages down to `root-filesystem` are those of engine.Dockerfile word for word, so that both images are built from the
# same layers. Each platform builds for itself.
ARG RUST_IMAGE=rust:1.95-slim-trixie@sha256:e14e87345b4d5964ddcc3491d27ee046a0f23820f340c3c1e24da6880141f7c0
ARG DEBIAN_IMAGE=debian:trixie-slim@sha256:a99cfc517144bc59b1978475ec53b46ecabec7e43635402ee5b77cc54cd1b20a

# What compiles. The toolchain is the image's own, so rustup fetches nothing that rust-toolchain.toml names.
FROM $RUST_IMAGE AS rust
ENV RUSTUP_TOOLCHAIN=$RUST_VERSION CARGO_TERM_PROGRESS_WHEN=never
RUN cargo install --locked --quiet cargo-auditable@0.7.7 && rm -rf "$CARGO_HOME/registry"
WORKDIR /onnward

# The manifests, with empty sources. They are the same until a dependency changes, and so is what is built from them.
FROM rust AS manifests
COPY . .
RUN docker/empty-sources.sh

# The dependencies. One command for both programs gives both the same features of each dependency, as in the tests. Two things
# save 4 MB: relocations in the short form, which glibc reads since 2.36, and the leaving out of what no page of Swagger UI loads.
FROM rust AS dependencies
ENV RUSTFLAGS=-Clink-arg=-Wl,-z,pack-relative-relocs SWAGGER_UI_OVERWRITE_FOLDER=/swagger-ui
RUN mkdir /swagger-ui && touch /swagger-ui/swagger-ui.js /swagger-ui/swagger-ui-es-bundle.js /swagger-ui/swagger-ui-es-bundle-core.js
COPY --from=manifests /onnward .
RUN cargo auditable build --locked --profile dist --bins --package onnward-engine --package onnward-exporter && \
    rm -rf target/dist/.fingerprint/onnward-*

# cargo-auditable writes the list of dependencies into each program, for scanners.
FROM dependencies AS programs
COPY schemas schemas
COPY models models
COPY exporter exporter
COPY engine engine
RUN cargo auditable build --locked --profile dist --bins --package onnward-engine --package onnward-exporter

FROM $DEBIAN_IMAGE AS root-filesystem
COPY docker/root-filesystem.sh /
RUN /root-filesystem.sh /image base-files ca-certificates gcc-14-base libc6 libgcc-s1
COPY LICENSE /image/usr/share/doc/onnward/
COPY schemas/bank.toml schemas/telco.toml /image/usr/share/onnward/schemas/

FROM scratch AS exporter
COPY --from=root-filesystem /image /
COPY --from=programs /onnward/target/dist/onnward-exporter /usr/bin/
USER 65532:65532
# Where relative paths go.
WORKDIR /var/lib/onnward
# One command and done: there is nothing whose health could be asked.
HEALTHCHECK NONE
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/onnward-exporter"]
CMD ["--help"]
ARG VERSION=dev REVISION CREATED SOURCE DOCUMENTATION
LABEL org.opencontainers.image.title="Onnward exporter" \
      org.opencontainers.image.description="Trains on tables, exports ONNX with its preprocessing, publishes and promotes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.documentation="$DOCUMENTATION"
