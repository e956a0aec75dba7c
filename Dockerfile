# mcpd, with mcpctl and mcplocal beside it. The base needs Node >= 20.19 and npm; build: docker build -t mcpd .
ARG BASE=node:20-slim

# What the bundles leave outside; the embedded PostgreSQL is optional and stays out, since a container has DATABASE_URL.
FROM ${BASE} AS dependencies
# Another registry than npm's: --build-arg NPM_CONFIG_REGISTRY=https://…
ARG NPM_CONFIG_REGISTRY
RUN mkdir /empty
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --loglevel=error --omit=dev --omit=optional

FROM ${BASE} AS build
ARG NPM_CONFIG_REGISTRY
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --loglevel=error
COPY . .
RUN node scripts/build.mjs --force

FROM ${BASE}
WORKDIR /app
ENV NODE_ENV=production \
    HOME=/var/lib/mcpctl \
    MCPD_DATA_DIR=/var/lib/mcpctl \
    MCPD_HOST=0.0.0.0 \
    MCPD_PORT=7777
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /src/package.json ./
COPY --from=build /src/dist ./dist
# A new volume takes the owner of this directory.
COPY --from=dependencies --chown=65532:65532 /empty /var/lib/mcpctl
USER 65532:65532
VOLUME /var/lib/mcpctl
EXPOSE 7777
# Start with an init process (docker run --init, compose `init: true`): MCP servers leave children that somebody must reap.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=6 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7777/readyz').then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "dist/mcpd/main.js"]
