# A job with the agent beside its task: once before the task starts, then for as long as it runs.
job "web-with-agent" {
  type = "service"

  group "web" {
    # Both share alloc/: on a tmpfs, if the client's configuration says so.
    task "secrets-first" {
      driver = "exec"

      lifecycle {
        hook    = "prestart"
        sidecar = false
      }

      identity {
        name = "vault_default"
        aud  = ["vault.io"]
        file = true
        ttl  = "1h"
      }

      config {
        command = "/usr/local/bin/warifu"
        args    = ["agent", "-config=${NOMAD_TASK_DIR}/agent.hcl", "-exit-after-auth"]
      }

      template {
        destination     = "local/agent.hcl"
        left_delimiter  = "[["
        right_delimiter = "]]"
        data            = <<EOT
vault { address = "https://vault.service.consul:8200" }
auto_auth {
  method "jwt" {
    mount_path = "auth/nomad"
    config {
      role = "web"
      path = "[[ env "NOMAD_SECRETS_DIR" ]]/nomad_vault_default.jwt"
      remove_jwt_after_reading = false
    }
  }
}
template {
  contents    = "{{ with secret \"kv/web\" }}{{ .Data.data | toJSON }}{{ end }}"
  destination = "[[ env "NOMAD_ALLOC_DIR" ]]/secrets/web.json"
}
EOT
      }
    }

    task "secrets-fresh" {
      driver = "exec"

      lifecycle {
        hook    = "poststart"
        sidecar = true
      }

      identity {
        name = "vault_default"
        aud  = ["vault.io"]
        file = true
        ttl  = "1h"
      }

      config {
        command = "/usr/local/bin/warifu"
        args    = ["agent", "-config=${NOMAD_TASK_DIR}/agent.hcl"]
      }

      template {
        destination     = "local/agent.hcl"
        left_delimiter  = "[["
        right_delimiter = "]]"
        data            = <<EOT
vault { address = "https://vault.service.consul:8200" }
auto_auth {
  method "jwt" {
    mount_path = "auth/nomad"
    config {
      role = "web"
      path = "[[ env "NOMAD_SECRETS_DIR" ]]/nomad_vault_default.jwt"
      remove_jwt_after_reading = false
    }
  }
}
template {
  contents    = "{{ with secret \"kv/web\" }}{{ .Data.data | toJSON }}{{ end }}"
  destination = "[[ env "NOMAD_ALLOC_DIR" ]]/secrets/web.json"
}
EOT
      }
    }

    task "web" {
      driver = "exec"

      config {
        command = "/usr/bin/web"
      }
    }
  }
}
