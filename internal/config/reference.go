package config

import (
	"fmt"
	"strings"
)

// Reference is docs/configuration.md: the manual that the struct's tags hold.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	table(&b, Options(), func(o *Option) string { return "`" + o.Path + "`<br>`--" + o.Flag() + "`" })
	b.WriteString(referenceRules)
	table(&b, RuleOptions(), func(o *Option) string { return "`" + strings.TrimPrefix(o.Path, "rules.") + "`" })
	b.WriteString(referenceFoot)
	return b.String()
}

func table(b *strings.Builder, options []Option, name func(*Option) string) {
	b.WriteString("| option | default | type | what it does |\n|---|---|---|---|\n")
	for _, o := range options {
		def := "none"
		if o.Default != "" {
			def = "`" + o.Default + "`"
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", name(&o), def, o.kind(), strings.ReplaceAll(o.Doc, "*", `\*`))
	}
}

// kind is the option's type with its bounds, for people.
func (o *Option) kind() string {
	switch {
	case len(o.Enum) > 0:
		return strings.Join(o.Enum, ", ")
	case o.Min != "" && o.Max != "":
		return fmt.Sprintf("%s, %s to %s", o.Type, o.Min, o.Max)
	}
	return o.Type
}

// Help is what the command line says of the option.
func (o *Option) Help() string {
	if len(o.Enum) > 0 && o.Type == "text" {
		return fmt.Sprintf("%s (%s)", o.Doc, strings.Join(o.Enum, ", "))
	}
	return o.Doc
}

const referenceHead = `# Configuration

<!-- Made from internal/config/config.go by "make docs"; a test compares. Change the struct, not this page. -->

twohop runs without any configuration. What you want to change you set in a YAML file, in the environment, or with a flag of
` + "`twohop serve`" + `; a flag is stronger than the environment, the environment than the file, the file than the default.

    twohop serve --config twohop.yaml --listen 127.0.0.1:8080

- In the file the dots are levels: ` + "`limits.body_bytes`" + ` is ` + "`body_bytes`" + ` under ` + "`limits:`" + `.
- In the environment it is ` + "`TWOHOP_LIMITS_BODY_BYTES`" + `; ` + "`TWOHOP_CONFIG`" + ` names the file. Lists are separated by commas; an empty variable sets nothing.
- As a flag it is ` + "`--limits-body-bytes`" + `.
- Durations are written ` + "`250ms`, `20s`, `5m`, `7d`" + `, sizes ` + "`4096`, `256KiB`, `1MB`" + `.

An unknown name in the file or as a flag, a value of the wrong type or out of range, and a name that stands twice are errors with their
line, all told at once. A variable whose name is misspelt is not noticed. ` + "`twohop config check FILE`" + ` looks without starting anything; ` + "`twohop config print`" + ` prints the
whole configuration in force with the origin of each value.

## Options

`

const referenceRules = `
## Rules

Rules say how channels are kept, by name. They are a list under ` + "`rules:`" + ` in the file; the first one that matches a
channel's name holds for it.

`

const referenceFoot = `
## Example

` + "```yaml" + `
listen: 127.0.0.1:4437
data: /var/lib/twohop
limits:
  body_bytes: 1MiB
rules:
  - match: "logs/**"
    create: on-publish
    content_type: text/plain
    sync: interval
    retention: {age: 7d, bytes: 1GiB}
  - match: "seats/*"
    create: on-publish
    content_type: application/json
` + "```" + `
`
