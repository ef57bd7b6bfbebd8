# syntax=docker/dockerfile:1
# Three stages: build, fetch what runs, put both on a runtime without build tools.
# Pin the base by digest where builds must repeat: --build-arg NODE_IMAGE=docker.io/library/node@sha256:...
ARG NODE_IMAGE=docker.io/library/node:26.10.0-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No install script runs: the bundler comes as a plain binary, and the npm scripts' own Node is not needed here.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY rolldown.config.ts ./
COPY src ./src
RUN /usr/local/bin/node node_modules/rolldown/bin/cli.mjs -c rolldown.config.ts

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /dependencies
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${NODE_IMAGE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="postern" \
      org.opencontainers.image.description="Egress trust-edge forward proxy with credential injection" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# Nothing in this image installs or builds.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack \
    && install -d -o 10001 -g 10001 -m 0750 /var/lib/postern
WORKDIR /app
COPY --from=dependencies /dependencies/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json ./
# One arena for all threads: glibc would give each its own, and keep in them what was freed.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
# A number, so that an orchestrator can see that it is not root. The root file system may be read-only: the process
# writes to /var/lib/postern alone.
USER 10001:10001
VOLUME ["/var/lib/postern"]
# 3128 guests; 9464 metrics and health, which no guest may reach.
EXPOSE 3128 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["/usr/local/bin/node", "-e", "fetch(process.env.POSTERN_HEALTH_URL ?? 'http://127.0.0.1:9464/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# A small young generation: a proxy makes short-lived objects only, and V8 would otherwise let them pile up to tens of megabytes.
ENTRYPOINT ["/usr/local/bin/node", "--max-semi-space-size=4", "/app/dist/main.js"]
CMD ["serve", "--config", "/etc/postern/postern.yaml"]
