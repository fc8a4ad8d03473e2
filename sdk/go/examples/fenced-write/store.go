package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// errStale is the answer to a writer that was overtaken.
var errStale = errors.New("a newer holder has written already")

// store is a file that remembers the highest fencing token, and refuses lower ones. It stands for a
// database that does so in the condition of its update.
type store struct{ path string }

type record struct {
	Token int64  `json:"token"`
	Text  string `json:"text"`
}

// write stores a text under a token. The same token again replaces: a writer may repeat itself.
func (s store) write(token int64, text string) error {
	// A lock of its own file: the data is replaced as a whole, which a lock would not follow.
	lock, err := os.OpenFile(s.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.path, err)
	}
	known, err := s.read()
	if err != nil {
		return err
	}
	if token < known.Token {
		return fmt.Errorf("token %d, but %d has been seen: %w", token, known.Token, errStale)
	}
	data, err := json.Marshal(record{token, text})
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

func (s store) read() (record, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, os.ErrNotExist) {
		return record{}, nil
	}
	if err != nil {
		return record{}, err
	}
	var known record
	if err := json.Unmarshal(data, &known); err != nil {
		return record{}, fmt.Errorf("%s: %w", s.path, err)
	}
	return known, nil
}
