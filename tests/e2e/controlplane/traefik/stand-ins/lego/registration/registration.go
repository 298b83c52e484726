// Package registration declares how an account is registered.
package registration

import (
	"crypto"

	"github.com/go-acme/lego/v5/acme"
)

// User is implemented by Traefik's Account.
type User interface {
	GetEmail() string
	GetRegistration() *acme.ExtendedAccount
	GetPrivateKey() crypto.Signer
}

// RegisterOptions has the fields that Traefik sets.
type RegisterOptions struct{ TermsOfServiceAgreed bool }

// RegisterEABOptions adds an external account binding.
type RegisterEABOptions struct {
	TermsOfServiceAgreed bool
	Kid                  string
	HmacEncoded          string
}
