// Package lego is a stand-in for the ACME client: every call returns ErrAbsent. This module declares only what Traefik
// refers to, because the DNS providers of the real one double the time of the build.
package lego

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"time"

	"github.com/go-acme/lego/v5/acme"
	"github.com/go-acme/lego/v5/certificate"
	"github.com/go-acme/lego/v5/challenge"
	"github.com/go-acme/lego/v5/challenge/dns01"
	"github.com/go-acme/lego/v5/challenge/http01"
	"github.com/go-acme/lego/v5/challenge/tlsalpn01"
	"github.com/go-acme/lego/v5/registration"
)

// DirectoryURLLetsEncrypt is the default of a setting that has no effect.
const DirectoryURLLetsEncrypt = "https://acme.invalid/directory"

// ErrAbsent is returned by every function and method.
var ErrAbsent = errors.New("this Traefik was built without ACME")

// Config has the fields that Traefik sets.
type Config struct {
	CADirURL    string
	UserAgent   string
	HTTPClient  *http.Client
	Certificate struct{ Timeout time.Duration }
}

// Client cannot be created.
type Client struct {
	Challenge    *challenges
	Registration *registrar
	Certificate  *certifier
}

type (
	challenges struct{}
	registrar  struct{}
	certifier  struct{}
)

// NewConfig returns an empty Config.
func NewConfig(registration.User) *Config { return &Config{} }

// NewClient returns ErrAbsent.
func NewClient(*Config) (*Client, error) { return nil, ErrAbsent }

// CreateCertPool returns ErrAbsent.
func CreateCertPool([]string, bool) (*x509.CertPool, error) { return nil, ErrAbsent }

func (*challenges) SetDNS01Provider(challenge.Provider, ...dns01.ChallengeOption) error {
	return ErrAbsent
}

func (*challenges) SetHTTP01Provider(challenge.Provider, ...http01.ChallengeOption) error {
	return ErrAbsent
}

func (*challenges) SetTLSALPN01Provider(challenge.Provider, ...tlsalpn01.ChallengeOption) error {
	return ErrAbsent
}

func (*registrar) Register(context.Context, registration.RegisterOptions) (*acme.ExtendedAccount, error) {
	return nil, ErrAbsent
}

func (*registrar) RegisterWithExternalAccountBinding(
	context.Context, registration.RegisterEABOptions,
) (*acme.ExtendedAccount, error) {
	return nil, ErrAbsent
}

func (*certifier) Obtain(context.Context, certificate.ObtainRequest) (*certificate.Resource, error) {
	return nil, ErrAbsent
}

func (*certifier) Renew(
	context.Context, certificate.Resource, *certificate.RenewOptions,
) (*certificate.Resource, error) {
	return nil, ErrAbsent
}
