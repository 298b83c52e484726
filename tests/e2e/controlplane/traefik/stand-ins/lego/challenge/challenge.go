// Package challenge declares the interface of a challenge.
package challenge

import "context"

// Provider is implemented by Traefik's HTTP and TLS challenges.
type Provider interface {
	Present(ctx context.Context, domain, token, keyAuth string) error
	CleanUp(ctx context.Context, domain, token, keyAuth string) error
}
