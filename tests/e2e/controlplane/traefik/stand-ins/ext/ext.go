// Package ext is an empty stand-in: Traefik's go.mod replaces this module by a directory that is not published.
package ext

// HTTP has no fields.
type HTTP struct{}

// Router has no fields.
type Router struct{}
