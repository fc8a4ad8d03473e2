// Command service-account-key prints a new private key, with which an API server signs tokens.
package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err == nil {
		block := &pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}
		err = pem.Encode(os.Stdout, block)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "service-account-key:", err)
		os.Exit(1)
	}
}
