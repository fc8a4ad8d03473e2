package konductor

import (
	"context"
	"log/slog"

	"github.com/go-logr/logr"
)

// quiet passes the log of the API client on to the client's logger, at level debug: what fails is an error of this
// package, or is retried. Without it the API client writes to stderr by itself.
type quiet struct{ slog.Handler }

func (q quiet) Enabled(ctx context.Context, level slog.Level) bool {
	// What is below would be whole requests and answers.
	return level >= slog.LevelInfo && q.Handler.Enabled(ctx, slog.LevelDebug)
}

func (q quiet) Handle(ctx context.Context, record slog.Record) error {
	record.Level = slog.LevelDebug
	return q.Handler.Handle(ctx, record)
}

func (q quiet) WithAttrs(attributes []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attributes)}
}

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// quietly returns a context for requests of the API client.
func (c *Client) quietly(ctx context.Context) context.Context {
	return logr.NewContext(ctx, logr.FromSlogHandler(quiet{c.log.Handler()}))
}
