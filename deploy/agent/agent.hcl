# An agent beside a service: a login by AppRole, a certificate, a password, what happens when they change.
pid_file = "/run/warifu-agent/agent.pid"

vault {
  address = "https://vault.example.test:8200"
  ca_cert = "/etc/warifu/ca.pem"
}

auto_auth {
  method "approle" {
    config {
      role_id_file_path   = "/etc/warifu/role-id"
      # A systemd credential: see warifu-agent.service.
      secret_id_file_path = "/run/credentials/warifu-agent.service/secret-id"
      remove_secret_id_file_after_reading = false
    }
  }
}

# What was rendered last serves when the server is away at a start.
cache {
  path      = "/var/lib/warifu-agent/cache"
  max_stale = "12h"
}

template {
  contents    = <<EOT
{{ with pkiCert "pki/issue/web" "common_name=web.example.test" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ end }}
EOT
  destination = "/run/warifu-agent/web.pem"
  perms       = "0640"
  command     = "systemctl try-reload-or-restart nginx.service"
}

listener "unix" {
  address = "/run/warifu-agent/agent.sock"
  agent_api {
    enable_rotate = true
  }
}
