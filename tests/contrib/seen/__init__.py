"""steve seen from outside: OpenTelemetry, Prometheus, Sentry, structlog and the HTTP endpoint, each with its real library."""
