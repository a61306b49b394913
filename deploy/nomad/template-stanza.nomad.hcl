# A job whose secrets Nomad itself renders, with warifu as its Vault: Nomad's clients log in by their workload identity.
job "web" {
  type = "service"

  group "web" {
    network {
      port "https" {}
    }

    task "nginx" {
      driver = "docker"

      identity {
        name = "vault_default"
        aud  = ["vault.io"]
        ttl  = "1h"
      }

      vault {
        role = "web"
      }

      template {
        data        = <<EOT
{{ with pkiCert "pki/issue/web" "common_name=web.example.test" }}{{ .Cert }}{{ .CA }}{{ .Key }}{{ end }}
EOT
        destination = "secrets/web.pem"
        perms       = "0600"
        change_mode   = "signal"
        change_signal = "SIGHUP"
      }

      config {
        image = "nginx:stable"
        ports = ["https"]
      }
    }
  }
}
