// Package log accepts a logger and does not use it.
package log

import "log/slog"

// SetDefault has no effect.
func SetDefault(*slog.Logger) {}
