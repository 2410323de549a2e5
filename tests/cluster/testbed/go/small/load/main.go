// Sends a steady load through a gateway and writes one line for every request, so that a test can tell afterwards
// what each moment of a shift cost. It changes nothing; it ends after -n requests, or on TERM when the open answers are in.
//
//	load -url http://GATEWAY/v1/chat/completions -host HOST -body '{"max_tokens":1}' -rate 1500 -out FILE
//
// A line: began and ended (seconds since the epoch), status (0: no answer), who answered, what went wrong; tabs between.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	url     = flag.String("url", "", "target URL")
	host    = flag.String("host", "", "Host header")
	body    = flag.String("body", "", "JSON body (POST); empty: GET")
	limit   = flag.Int64("n", 0, "requests; 0: until TERM")
	workers = flag.Int("workers", 16, "requests open at a time")
	rate    = flag.Float64("rate", 0, "requests a second; 0: as many as the workers can")
	ends    = flag.String("ends", "", "how a whole answer ends, such as [DONE]")
	out     = flag.String("out", "/dev/stdout", "file for the lines")
	by      = flag.String("by", "x-served-by", "response header that names the server")
	headers lines
)

type lines []string

func (l *lines) String() string     { return strings.Join(*l, ", ") }
func (l *lines) Set(s string) error { *l = append(*l, s); return nil }

type hit struct {
	began, ended    time.Time
	status          int
	server, failure string
}

func main() {
	flag.Var(&headers, "header", "a further header, NAME: VALUE (repeatable)")
	flag.Parse()
	file, err := os.Create(*out)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *workers}, Timeout: 120 * time.Second}
	hits := make(chan hit, 4096)
	var stop atomic.Bool
	go func() {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
		<-term
		stop.Store(true)
	}()
	go func() { send(client, &stop, hits); close(hits) }()
	if err := write(file, hits); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// send keeps the workers busy, each request at its time, until enough were sent or stop is set.
func send(client *http.Client, stop *atomic.Bool, hits chan<- hit) {
	begin := time.Now()
	var next atomic.Int64
	var all sync.WaitGroup
	for range *workers {
		all.Add(1)
		go func() {
			defer all.Done()
			for !stop.Load() {
				i := next.Add(1)
				if *limit > 0 && i > *limit {
					return
				}
				if *rate > 0 {
					time.Sleep(time.Until(begin.Add(time.Duration(float64(i-1) / *rate * 1e9))))
				}
				hits <- ask(client)
			}
		}()
	}
	all.Wait()
}

func ask(client *http.Client) hit {
	method := "GET"
	if *body != "" {
		method = "POST"
	}
	request, err := http.NewRequest(method, *url, strings.NewReader(*body))
	if err != nil {
		return hit{failure: err.Error()}
	}
	request.Host = *host
	request.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ":")
		request.Header.Set(name, strings.TrimSpace(value))
	}
	h := hit{began: time.Now()}
	answer, err := client.Do(request)
	if err != nil {
		h.ended, h.failure = time.Now(), err.Error()
		return h
	}
	text, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	h.ended, h.status, h.server = time.Now(), answer.StatusCode, answer.Header.Get(*by)
	switch {
	case err != nil:
		h.failure = "cut: " + err.Error()
	case answer.StatusCode != http.StatusOK:
		h.failure = fmt.Sprint(answer.StatusCode, " ", string(text[:min(len(text), 60)]))
	case !strings.HasSuffix(strings.TrimSpace(string(text)), *ends):
		h.failure = "not whole"
	}
	return h
}

func write(file io.Writer, hits <-chan hit) error {
	buffer := bufio.NewWriter(file)
	plain := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	for h := range hits {
		fmt.Fprintf(buffer, "%.6f\t%.6f\t%d\t%s\t%s\n", float64(h.began.UnixMicro())/1e6, float64(h.ended.UnixMicro())/1e6,
			h.status, plain.Replace(h.server), plain.Replace(h.failure))
	}
	return buffer.Flush()
}
