// Command generate writes the Go types of konductor.io/v1 from its CustomResourceDefinitions.
//
// What enters: the JSON of `koncli crds -o json`, from the program that $KONCLI names, from
// `cargo run` in this repository, or with -stdin from the standard input. What leaves: one Go file.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	out := flag.String("out", "", "the file to write; the standard output by default")
	stdin := flag.Bool("stdin", false, "read the CustomResourceDefinitions from the standard input")
	flag.Parse()
	if err := run(*out, *stdin); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(out string, stdin bool) error {
	crds := io.Reader(os.Stdin)
	if !stdin {
		printed, err := printCRDs()
		if err != nil {
			return err
		}
		crds = bytes.NewReader(printed)
	}
	text, err := generate(crds)
	if err != nil {
		return err
	}
	if out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(out, text, 0o644)
}

func generate(crds io.Reader) ([]byte, error) {
	read, err := read(crds)
	if err != nil {
		return nil, err
	}
	made, err := build(read)
	if err != nil {
		return nil, err
	}
	return source(made)
}

func printCRDs() ([]byte, error) {
	command := exec.Command("cargo", "run", "--quiet", "--package", "koncli", "--",
		"crds", "--output", "json")
	if koncli := os.Getenv("KONCLI"); koncli != "" {
		command = exec.Command(koncli, "crds", "--output", "json")
	}
	command.Stderr = os.Stderr
	printed, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return printed, nil
}
