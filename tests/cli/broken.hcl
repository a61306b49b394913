path "secret/*" {
  capabilities = ["fly"]
}
