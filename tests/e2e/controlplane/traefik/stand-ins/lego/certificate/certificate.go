// Package certificate declares the requests for certificates, and their results.
package certificate

import "github.com/go-acme/lego/v5/certcrypto"

// ObtainRequest has the fields that Traefik sets.
type ObtainRequest struct {
	Domains          []string
	Bundle           bool
	EmailAddresses   []string
	Profile          string
	PreferredChain   string
	EnableCommonName bool
	KeyType          certcrypto.KeyType
}

// RenewOptions has the fields that Traefik sets.
type RenewOptions struct {
	Bundle           bool
	EmailAddresses   []string
	Profile          string
	PreferredChain   string
	EnableCommonName bool
}

// Resource has the fields that Traefik reads.
type Resource struct {
	ID          string
	Domains     []string
	PrivateKey  []byte
	Certificate []byte
}
