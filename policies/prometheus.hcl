# Prometheus: one token for the scraper, which reads the metrics and nothing else.

path "sys/metrics" {
  capabilities = ["read"]
}
