// Package tlsalpn01 declares the name of the protocol, which Traefik offers in every TLS handshake.
package tlsalpn01

import (
	"errors"
	"time"
)

// ACMETLS1Protocol is defined by RFC 8737, section 6.2.
const ACMETLS1Protocol = "acme-tls/1"

// ChallengeOption has no effect.
type ChallengeOption struct{}

// SetDelay has no effect.
func SetDelay(time.Duration) ChallengeOption { return ChallengeOption{} }

// ChallengeBlocks returns an error.
func ChallengeBlocks(_, _ string) (certificate, key []byte, err error) {
	return nil, nil, errors.New("this Traefik was built without ACME")
}
