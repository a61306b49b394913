// The runner of consul-template, once: what it renders from a server is what ours has to render.
//
//	runner ADDRESS SOURCE DESTINATION [SOURCE DESTINATION ...]
//
// The token comes from VAULT_TOKEN.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/consul-template/config"
	"github.com/hashicorp/consul-template/logging"
	"github.com/hashicorp/consul-template/manager"
)

func main() {
	if len(os.Args) < 4 || len(os.Args)%2 != 0 {
		fail("usage: runner ADDRESS SOURCE DESTINATION [SOURCE DESTINATION ...]")
	}
	if err := logging.Setup(&logging.Config{Level: "ERR", Writer: os.Stderr}); err != nil {
		fail(err.Error())
	}
	settings := config.DefaultConfig()
	settings.Vault.Address = config.String(os.Args[1])
	settings.Vault.Token = config.String(os.Getenv("VAULT_TOKEN"))
	settings.Vault.RenewToken = config.Bool(false)
	templates := config.TemplateConfigs{}
	for i := 2; i < len(os.Args); i += 2 {
		templates = append(templates, &config.TemplateConfig{
			Source:      config.String(os.Args[i]),
			Destination: config.String(os.Args[i+1]),
		})
	}
	settings.Templates = &templates
	settings.Once = true
	settings.Finalize()
	runner, err := manager.NewRunner(settings, false)
	if err != nil {
		fail(err.Error())
	}
	go runner.Start()
	select {
	case err := <-runner.ErrCh:
		fail(err.Error())
	case <-runner.DoneCh:
	case <-time.After(2 * time.Minute):
		fail("it took too long")
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
