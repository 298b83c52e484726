// Package dns01 declares options without effect, and UnFqdn, which Traefik calls for every TLS handshake.
package dns01

import (
	"strings"
	"time"
)

// ChallengeOption has no effect.
type ChallengeOption struct{}

// Options are the arguments of NewClient.
type Options struct{ RecursiveNameservers []string }

// Client does nothing.
type Client struct{}

// NewClient returns a Client.
func NewClient(*Options) *Client { return &Client{} }

// SetDefaultClient has no effect.
func SetDefaultClient(*Client) {}

// CondOptions has no effect.
func CondOptions(bool, ...ChallengeOption) ChallengeOption { return ChallengeOption{} }

// DisableAuthoritativeNssPropagationRequirement has no effect.
func DisableAuthoritativeNssPropagationRequirement() ChallengeOption { return ChallengeOption{} }

// DisableRecursiveNSsPropagationRequirement has no effect.
func DisableRecursiveNSsPropagationRequirement() ChallengeOption { return ChallengeOption{} }

// PropagationWait has no effect.
func PropagationWait(time.Duration, bool) ChallengeOption { return ChallengeOption{} }

// UnFqdn removes the trailing dot of a domain name, if there is one.
func UnFqdn(name string) string { return strings.TrimSuffix(name, ".") }
