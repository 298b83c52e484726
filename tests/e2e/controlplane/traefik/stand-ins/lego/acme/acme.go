// Package acme declares the account that Traefik stores.
package acme

// Account has no fields.
type Account struct{}

// ExtendedAccount is an Account with its URL.
type ExtendedAccount struct {
	Account

	Location string
}
