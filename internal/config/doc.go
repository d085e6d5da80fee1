// Package config is the server's configuration: one struct whose fields are the
// reference manual, and the loader that fills it from defaults, a YAML file,
// the environment and flags, each stronger than the one before.
//
// Invariant: nothing is guessed. A key that is not known, a value of the wrong
// type or out of range is an error that says where it stands, and all errors
// are told at once. The help text, docs/configuration.md and the printed
// configuration are made from the struct, so they cannot differ from it.
package config
