// Command weir is the focus: one binary that holds the calls of a Matrix homeserver's users. It wires the components,
// and is the only place that ends the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes: those of sysexits.h where it has one (operators.md section 3.1).
const (
	exitDone    = 0
	exitFailed  = 1
	exitUsage   = 64 // EX_USAGE
	exitDrained = 75 // EX_TEMPFAIL: the drain's deadline passed, participants were left
	exitConfig  = 78 // EX_CONFIG
)

// exit is an error with the code that the process ends with. A nil err says nothing.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// world is what a command sees of the outside.
type world struct {
	ctx         context.Context
	environment []string
	stdout      io.Writer
	stderr      io.Writer
	signals     <-chan os.Signal
}

// commandLine is all that can be said to weir.
type commandLine struct {
	Serve   serveCommand   `cmd:"" help:"Run the focus."`
	Config  configCommand  `cmd:"" help:"Check, print or describe the configuration."`
	Token   tokenCommand   `cmd:"" help:"Make a token to join or manage sessions with."`
	Advise  adviseCommand  `cmd:"" help:"Print what to write into the configuration of others: homeserver, well-known file, proxy."`
	Version versionCommand `cmd:"" help:"Print the version."`

	Doctor       doctorCommand       `cmd:"" help:"Look for what is wrong: configuration, ports, certificate, homeserver, discovery. Each finding says what to do."`
	Registration registrationCommand `cmd:"" help:"Make the appservice registration that the homeserver loads."`
}

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	os.Exit(run(os.Args[1:], world{
		ctx: context.Background(), environment: os.Environ(), stdout: os.Stdout, stderr: os.Stderr, signals: signals,
	}))
}

// ended carries kong's wish to exit, as after --help, up to run.
type ended int

// run is the whole program as a function.
func run(args []string, w world) (code int) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case ended:
			code = int(p)
		default:
			panic(p)
		}
	}()
	var line commandLine
	parser, err := kong.New(&line,
		kong.Name("weir"), kong.Description("A LiveKit-compatible focus for Matrix calls."), kong.UsageOnError(),
		kong.Writers(w.stdout, w.stderr), kong.Exit(func(code int) { panic(ended(code)) }),
	)
	if err != nil {
		panic("weir: the command line is ill described: " + err.Error())
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	c, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(w.stderr, "weir: %v\nweir --help lists the commands.\n", err)
		return exitUsage
	}
	err = c.Run(&w)
	var e *exit
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &e):
		code = e.code
	default:
		code = exitFailed
	}
	if e == nil || e.err != nil {
		fmt.Fprintln(w.stderr, err)
	}
	return code
}
