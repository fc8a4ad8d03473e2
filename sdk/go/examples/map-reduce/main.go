// Command map-reduce counts the words of files. Each mapper, such as a pod of an indexed Job,
// counts those of one file and arrives at a Barrier; the reducer waits for all and adds up.
//
//	koncli barrier create counted --expected 2
//	go run ./examples/map-reduce -dir /tmp/counts -map book-1.txt &
//	go run ./examples/map-reduce -dir /tmp/counts -map book-2.txt &
//	go run ./examples/map-reduce -dir /tmp/counts -reduce
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	konductor "github.com/LogicIQ/konductor/sdk/go"
	v1 "github.com/LogicIQ/konductor/sdk/go/api/v1"
)

func main() {
	barrier := flag.String("barrier", "counted", "the Barrier between mappers and reducer")
	folder := flag.String("dir", ".", "where the counts are put")
	input := flag.String("map", "", "count the words of this file")
	isReducer := flag.Bool("reduce", false, "wait for all mappers and add up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	client, err := konductor.New(nil)
	switch {
	case err != nil:
	case *isReducer:
		err = reduce(ctx, client, *barrier, *folder)
	case *input != "":
		err = count(ctx, client, *barrier, *folder, *input)
	default:
		err = errors.New("say -map FILE or -reduce")
	}
	if err != nil {
		slog.Error("ended", "error", err)
		os.Exit(1)
	}
}

// count maps one file. It arrives also where it has failed, so nobody waits in vain.
func count(
	ctx context.Context, client *konductor.Client, barrier, folder, input string,
) error {
	// The input names the party: a mapper that is started again for it counts once.
	holder := konductor.WithHolder("mapper-" + filepath.Base(input))
	text, err := os.ReadFile(input)
	if err == nil {
		words := strconv.Itoa(len(strings.Fields(string(text))))
		output := filepath.Join(folder, filepath.Base(input)+".count")
		err = os.WriteFile(output, []byte(words), 0o644)
	}
	if err != nil {
		failed := konductor.WithOutcome(v1.ArrivalOutcomeFailed)
		return errors.Join(err, client.ArriveBarrier(ctx, barrier, holder, failed))
	}
	return client.ArriveBarrier(ctx, barrier, holder)
}

// reduce adds up. A mapper that has failed ends the wait at once.
func reduce(ctx context.Context, client *konductor.Client, barrier, folder string) error {
	if err := client.WaitBarrier(ctx, barrier); err != nil {
		return err
	}
	outputs, err := filepath.Glob(filepath.Join(folder, "*.count"))
	if err != nil {
		return err
	}
	sum := 0
	for _, output := range outputs {
		text, err := os.ReadFile(output)
		if err != nil {
			return err
		}
		words, err := strconv.Atoi(string(text))
		if err != nil {
			return fmt.Errorf("%s: %w", output, err)
		}
		sum += words
	}
	fmt.Printf("%d words in %d files\n", sum, len(outputs))
	return nil
}
