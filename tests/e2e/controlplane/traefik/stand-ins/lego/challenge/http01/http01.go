// Package http01 declares the path of HTTP challenges.
package http01

import "time"

// PathPrefix is defined by RFC 8555, section 8.3.
const PathPrefix = "/.well-known/acme-challenge/"

// ChallengeOption has no effect.
type ChallengeOption struct{}

// SetDelay has no effect.
func SetDelay(time.Duration) ChallengeOption { return ChallengeOption{} }
