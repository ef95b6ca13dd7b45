// Command weir-bench loads a LiveKit-compatible server with bots and measures what it does; or lets one bot publish a
// test clip, for demos.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type commands struct {
	Run     run     `cmd:"" help:"Load a server with bots and measure what it does."`
	Compare compare `cmd:"" help:"Say what became worse from one series to another; exit code 1 if anything did."`
	Publish publish `cmd:"" help:"Publish a test clip until stopped."`
	Call    call    `cmd:"" help:"Be a member of a Matrix call: exchange keys, publish the clip, open every frame of the others."`
	Peer    peer    `cmd:"" hidden:"" help:"Take part in a test of clients: open every frame, echo it under own keys."`
}

func main() {
	var c commands
	k := kong.Parse(&c, kong.Name("weir-bench"), kong.UsageOnError(),
		kong.Description("Load tester for Weir and every other server that speaks the LiveKit protocol."))
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	k.BindTo(ctx, (*context.Context)(nil))
	err := k.Run()
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "weir-bench:", err)
		os.Exit(1)
	}
}
