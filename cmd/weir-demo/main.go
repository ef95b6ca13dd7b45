// Command weir-demo starts a whole call world on loopback: a homeserver, a focus, users, a room and two bots that publish
// test video and a tone, and prints links that open the call page as a demo user.
//
// The homeserver is Dendrite, a program of its own that this module builds from its published source (AGPL-3.0); neither
// this program nor Weir contains it.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "", "folder with the programs weir, weir-bench and dendrite (default: where this program is)")
	flag.IntVar(&o.focusPort, "port", 7880, "TCP port of the focus and its call page")
	flag.IntVar(&o.mediaPort, "media-port", 7882, "UDP port of the focus")
	flag.IntVar(&o.matrixPort, "matrix-port", 8008, "TCP port of the homeserver")
	flag.IntVar(&o.bots, "bots", 2, "how many bots publish")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "weir-demo:", err)
		os.Exit(1)
	}
}

type options struct {
	bin                              string
	focusPort, mediaPort, matrixPort int
	bots                             int
}

// world is what runs; it is taken down in the reverse order.
type world struct {
	options
	dir      string
	children []*child
	secret   string // of registration
	password string // of the call's media
	service  string
	server   string
	mediaUDP int
	notes    []string
}

func run(o options) error {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	dir, err := os.MkdirTemp("", "weir-demo-")
	if err != nil {
		return err
	}
	w := &world{options: o, dir: dir, secret: randomText(16), password: randomText(8)}
	defer w.takeDown()
	if w.bin == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		w.bin = filepath.Dir(self)
	}
	if err := w.choosePorts(); err != nil {
		return err
	}
	links, err := w.build(ctx)
	if ctx.Err() != nil {
		return nil // stopped while starting
	}
	if err != nil {
		return err
	}
	w.greet(links)
	return w.wait(ctx)
}

func (w *world) choosePorts() error {
	ports := map[string]int{}
	for _, p := range []struct {
		name, network string
		wanted        int
	}{{"focus", "tcp", w.focusPort}, {"media", "udp", w.mediaPort}, {"matrix", "tcp", w.matrixPort}} {
		port, note, err := freePort(p.network, p.wanted)
		if err != nil {
			return err
		}
		if note != "" {
			w.notes = append(w.notes, note)
		}
		ports[p.name] = port
	}
	w.service = fmt.Sprintf("http://127.0.0.1:%d", ports["focus"])
	w.server = fmt.Sprintf("http://127.0.0.1:%d", ports["matrix"])
	w.mediaUDP = ports["media"]
	return nil
}

// build starts everything and returns a link for each demo user.
func (w *world) build(ctx context.Context) ([]string, error) {
	starting, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := w.startHomeserver(starting); err != nil {
		return nil, err
	}
	if err := w.startFocus(starting); err != nil {
		return nil, err
	}
	const alias = "call"
	host, err := register(starting, w.server, w.secret, "host", randomText(8))
	if err != nil {
		return nil, err
	}
	room, err := host.createRoom(starting, "Weir demo call", alias)
	if err != nil {
		return nil, err
	}
	for n := 1; n <= w.bots; n++ {
		if err := w.startBot(starting, n, room); err != nil {
			return nil, err
		}
	}
	var links []string
	for _, name := range []string{"Alice", "Bob"} {
		login := randomText(8)
		u, err := register(starting, w.server, w.secret, strings.ToLower(name), login)
		if err != nil {
			return nil, err
		}
		if err := u.setName(starting, name); err != nil {
			return nil, err
		}
		links = append(links, w.link(strings.ToLower(name), login, "#"+alias+":"+serverName))
	}
	return links, nil
}

const focusConfig = `public_url: %s
bind_addresses: [127.0.0.1]
port: %s
rtc: {udp_port: %d, use_external_ip: false, node_ip: 127.0.0.1}
homeserver: {server_name: %s, internal_url: %s}
prometheus: {port: 0}
storage: {dir: ""}
web: {call: true}
`

func (w *world) startFocus(ctx context.Context) error {
	file := filepath.Join(w.dir, "weir.yaml")
	port := w.service[strings.LastIndexByte(w.service, ':')+1:]
	text := fmt.Sprintf(focusConfig, w.service, port, w.mediaUDP, serverName, w.server)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	c, err := start(w.dir, "focus", nil, filepath.Join(w.bin, "weir"), "serve", "--config", file)
	if err != nil {
		return err
	}
	w.children = append(w.children, c)
	return c.ready(ctx, w.service+"/readyz")
}

// startBot makes a user, tells the room that it is in the call, and lets weir-bench publish for it.
func (w *world) startBot(ctx context.Context, n int, room string) error {
	name := fmt.Sprintf("bot%d", n)
	u, err := register(ctx, w.server, w.secret, name, randomText(8))
	if err != nil {
		return err
	}
	if err := u.setName(ctx, fmt.Sprintf("Bot %d", n)); err != nil {
		return err
	}
	if err := u.join(ctx, room); err != nil {
		return fmt.Errorf("%s joins the room: %w", name, err)
	}
	t, err := u.callToken(ctx, w.service, room)
	if err != nil {
		return err
	}
	env := []string{"WEIR_BENCH_TOKEN=" + t.JWT, "WEIR_BENCH_E2EE_PASSWORD=" + w.password}
	c, err := start(w.dir, name, env, filepath.Join(w.bin, "weir-bench"), "publish", "--url", t.URL)
	if err != nil {
		return err
	}
	w.children = append(w.children, c)
	return u.sendMembership(ctx, room, w.service)
}

// link opens the call page as a demo user. All of it is behind the #, so that no server sees it.
func (w *world) link(name, login, room string) string {
	q := url.Values{"homeserver": {w.server}, "user": {name}, "login": {login}, "room": {room}, "password": {w.password}, "service": {w.service}}
	return w.service + "/call/#" + q.Encode()
}

func (w *world) greet(links []string) {
	for _, note := range w.notes {
		fmt.Println("note:", note)
	}
	fmt.Println("The demo runs. Open this link in a browser:")
	fmt.Println()
	fmt.Println("   ", links[0])
	fmt.Println()
	fmt.Println("and this one in a second window, to be somebody else:")
	fmt.Println()
	fmt.Println("   ", links[1])
	fmt.Println()
	fmt.Println("Ctrl-C ends it and removes everything it made.")
}

// wait returns when the user stops the demo, or with the story of the first process that died.
func (w *world) wait(ctx context.Context) error {
	died := make(chan *child, len(w.children))
	for _, c := range w.children {
		go func() {
			<-c.done
			died <- c
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case c := <-died:
		return c.failure()
	}
}

func (w *world) takeDown() {
	for i := len(w.children) - 1; i >= 0; i-- {
		w.children[i].stop()
	}
	if err := os.RemoveAll(w.dir); err != nil {
		fmt.Fprintln(os.Stderr, "weir-demo: left behind:", err)
	}
}
