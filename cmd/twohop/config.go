package main

import (
	"fmt"
	"os"

	"twohop/internal/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Look for faults in a configuration file without starting anything."`
	Print configPrintCmd `cmd:"" help:"Print the configuration in force, with the origin of each value."`
}

type configCheckCmd struct {
	File string `arg:"" optional:"" env:"TWOHOP_CONFIG" help:"YAML file; without it only the environment is looked at."`
}

// Run tells all faults, or that there are none.
func (c *configCheckCmd) Run(a *app) error {
	l, err := loadConfig(config.Sources{File: c.File, Env: os.LookupEnv})
	if err != nil {
		return err
	}
	what := c.File
	if what == "" {
		what = "the environment"
	}
	_, err = fmt.Fprintf(a.Stdout, "%s is fine: engine %s, %d rules\n", what, l.Config.Engine, len(l.Config.Rules))
	return err
}

type configPrintCmd struct {
	optionFlags
}

// Run prints YAML that can be loaded again.
func (c *configPrintCmd) Run(a *app) error {
	l, err := c.load()
	if err != nil {
		return err
	}
	text, err := l.Print()
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(text)
	return err
}
