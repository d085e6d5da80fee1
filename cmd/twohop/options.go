package main

import (
	"fmt"
	"os"
	"reflect"
	"strconv"

	"github.com/alecthomas/kong"

	"twohop/internal/config"
)

// optionFlags are the flags of a subcommand that takes the server's options:
// one for each, made from the struct that documents them.
type optionFlags struct {
	File string `name:"config" placeholder:"FILE" env:"TWOHOP_CONFIG" help:"YAML file with the configuration. Flags and the environment are stronger than it."`
	kong.Plugins
}

func newOptionFlags() optionFlags {
	var fields []reflect.StructField
	for _, o := range config.Options() {
		t, tag := reflect.TypeFor[*string](), fmt.Sprintf("name:%q help:%q", o.Flag(), o.Help())
		switch {
		case o.Type == "true or false":
			t, tag = reflect.TypeFor[*bool](), tag+` negatable:""`
		case o.Default != "":
			tag += fmt.Sprintf(" placeholder:%q", o.Default)
		default:
			tag += ` placeholder:"NONE"`
		}
		fields = append(fields, reflect.StructField{Name: "F" + strconv.Itoa(len(fields)), Type: t, Tag: reflect.StructTag(tag)})
	}
	flags := reflect.New(reflect.StructOf(fields))
	return optionFlags{Plugins: kong.Plugins{flags.Interface()}}
}

// load reads the configuration in force: file, environment and flags.
func (f *optionFlags) load() (*config.Loaded, error) {
	given := map[string]string{}
	flags := reflect.ValueOf(f.Plugins[0]).Elem()
	for i, o := range config.Options() {
		if v := flags.Field(i); !v.IsNil() {
			given[o.Path] = fmt.Sprint(v.Elem())
		}
	}
	return loadConfig(config.Sources{File: f.File, Env: os.LookupEnv, Flags: given})
}

// loadConfig loads, with every failure as one of how the command was called.
func loadConfig(s config.Sources) (*config.Loaded, error) {
	l, err := config.Load(s)
	if err != nil {
		return nil, &usageError{message: err.Error(), hint: "docs/configuration.md and twohop serve --help say what can be set"}
	}
	return l, nil
}
