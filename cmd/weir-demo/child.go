package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// child is a process of the demo. Its output goes to a file that is shown when it dies.
type child struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{}
	err  error // set before done is closed
}

// start runs a program; extra environment variables come as KEY=value.
func start(dir, name string, env []string, program string, args ...string) (*child, error) {
	c := &child{name: name, log: filepath.Join(dir, name+".out"), done: make(chan struct{})}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	c.cmd = exec.Command(program, args...)
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, out, out
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the demo only, which stops the others in order
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

// stop asks the process to end and kills it when it has not after a while.
func (c *child) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(5 * time.Second):
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// failure describes why the process ended, with the end of its output.
func (c *child) failure() error {
	out, _ := os.ReadFile(c.log)
	if len(out) > 2000 {
		out = out[len(out)-2000:]
	}
	return fmt.Errorf("%s ended (%v):\n%s", c.name, c.err, out)
}

// ready waits until a GET of target answers 200.
func (c *child) ready(ctx context.Context, target string) error {
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-c.done:
			return c.failure()
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %w", c.name, target, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// freePort returns the wanted loopback port if it is free, else another one and a word about it.
func freePort(network string, wanted int) (port int, note string, err error) {
	for _, p := range []int{wanted, 0} {
		got, err := bindOnce(network, p)
		if err == nil {
			if got != wanted {
				note = fmt.Sprintf("port %d/%s is taken, using %d", wanted, network, got)
			}
			return got, note, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			return 0, "", fmt.Errorf("port %d/%s: %w", p, network, err)
		}
	}
	return 0, "", fmt.Errorf("no free %s port on loopback", network)
}

func bindOnce(network string, port int) (int, error) {
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if network == "udp" {
		conn, err := net.ListenPacket("udp4", addr)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		return conn.LocalAddr().(*net.UDPAddr).Port, nil
	}
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
