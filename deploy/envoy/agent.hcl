# The agent beside Envoy: keys go from the server to Envoy's memory and touch no disk.
vault {
  address = "https://vault.example.test:8200"
  ca_cert = "/etc/warifu/ca.pem"
}

auto_auth {
  method "cert" {
    config {
      name        = "envoy"
      client_cert = "/etc/warifu-agent/host.pem"
      client_key  = "/etc/warifu-agent/host.key"
    }
  }
}

sds {
  socket_path  = "/run/warifu-agent/sds.sock"
  mode         = 0660
  allowed_uids = [101]

  tls_certificate "web" {
    contents = <<EOT
{{ with pkiCert "pki/issue/web" "common_name=web.example.test" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ end }}
EOT
  }

  validation_context "ca" {
    contents = <<EOT
{{ with secret "pki/cert/ca" }}{{ .Data.certificate }}{{ end }}
EOT
  }
}

# Renewals come on weekday evenings, unless a certificate would expire before.
change_window {
  time_zone = "UTC"
  days      = ["mon", "tue", "wed", "thu", "fri"]
  hours     = "18:00-22:00"
  except    = ["2026-12-25"]
}
