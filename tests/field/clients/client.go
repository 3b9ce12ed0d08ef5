// Sends the plan's requests with net/http: one client for all goroutines; with --http2 over HTTP/2 without TLS.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

type planned struct {
	number, method, path, body string
	chunked                    bool
	headers                    [][2]string
}

// How often a body was asked for again.
var retries atomic.Int64

func main() {
	arguments := os.Args[1:]
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if arguments[0] == "--http2" {
		arguments = arguments[1:]
		transport.Protocols = new(http.Protocols)
		transport.Protocols.SetUnencryptedHTTP2(true)
	}
	url, workers := arguments[0], arguments[2]
	client := &http.Client{Transport: transport, Timeout: time.Minute}
	requests, bodies := read(arguments[1])
	queue := make(chan planned)
	go func() {
		for _, request := range requests {
			queue <- request
		}
		close(queue)
	}()
	count, err := strconv.Atoi(workers)
	check(err)
	var group sync.WaitGroup
	for range count {
		group.Go(func() {
			for request := range queue {
				status, err := send(client, url, request, bodies[request.body])
				if err != nil {
					fmt.Printf("%s\t-\t%s\n", request.number, strings.Join(strings.Fields(err.Error()), " "))
				} else {
					fmt.Printf("%s\t%d\n", request.number, status)
				}
			}
		})
	}
	group.Wait()
	fmt.Printf("retries\t%d\n", retries.Load())
}

func send(client *http.Client, url string, planned planned, body []byte) (int, error) {
	var reader io.Reader = bytes.NewReader(body)
	if planned.chunked {
		// Of a reader that it does not know, the client does not know the length.
		reader = io.NopCloser(reader)
	}
	request, err := http.NewRequest(planned.method, url+planned.path, reader)
	if err != nil {
		return 0, err
	}
	if again := request.GetBody; again != nil {
		request.GetBody = func() (io.ReadCloser, error) {
			retries.Add(1)
			return again()
		}
	}
	for _, header := range planned.headers {
		if header[0] == "host" {
			request.Host = header[1]
		}
		request.Header.Set(header[0], header[1])
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func read(path string) ([]planned, map[string][]byte) {
	file, err := os.Open(path)
	check(err)
	defer file.Close()
	var requests []planned
	bodies := map[string][]byte{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Split(lines.Text(), "\t")
		request := planned{number: words[0], method: words[1], path: words[2], chunked: words[3] == "chunked", body: words[4]}
		for _, header := range words[5:] {
			name, value, _ := strings.Cut(header, ": ")
			request.headers = append(request.headers, [2]string{name, value})
		}
		if bodies[request.body] == nil {
			bodies[request.body], err = os.ReadFile(request.body)
			check(err)
		}
		requests = append(requests, request)
	}
	return requests, bodies
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
