// What a Go program does with HTTP, as JSON on standard output. Arguments: BASE_URL REFUSED_URL
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"time"
)

var told = map[string]any{}

func main() {
	base, refused := os.Args[1], os.Args[2]
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ExpectContinueTimeout = time.Minute
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	body := bytes.Repeat([]byte("postern "), 400_000)
	told["body_sha256"] = sum(body)

	told["get"] = object(client, "GET", base+"/hello?a=%2f", nil)["url"]
	told["upload_length"] = object(client, "PUT", base+"/upload", bytes.NewReader(body))["sha256"]
	told["upload_chunked"] = object(client, "POST", base+"/upload", io.MultiReader(bytes.NewReader(body)))["sha256"]
	told["download_sha256"] = sum(text(client, "GET", base+"/download?bytes=3200000"))
	told["redirect"] = status(client, base+"/redirect?to=/hello&status=307")
	told["head"], _ = headLength(client, base+"/download?bytes=12345")
	told["trailers"] = trailers(client, base+"/trailers")
	told["sent_trailers"] = sendTrailers(client, base+"/upload")
	told["interim"] = interim(client, base+"/interim")
	told["expect"] = expectation(client, base+"/expect/accept", body)
	told["early"] = early(client, base+"/early", body)
	told["broken_length"] = breaks(client, base+"/reset?bytes=100000&after=50000")
	told["broken_chunked"] = breaks(client, base+"/reset?chunked=1&after=50000")
	told["refused"] = refusal(client, refused)
	check(json.NewEncoder(os.Stdout).Encode(told))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

func do(client *http.Client, method, url string, body io.Reader) *http.Response {
	request, err := http.NewRequest(method, url, body)
	check(err)
	response, err := client.Do(request)
	check(err)
	return response
}

func text(client *http.Client, method, url string) []byte {
	response := do(client, method, url, nil)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	check(err)
	return data
}

func object(client *http.Client, method, url string, body io.Reader) map[string]any {
	response := do(client, method, url, body)
	defer response.Body.Close()
	var value map[string]any
	check(json.NewDecoder(response.Body).Decode(&value))
	return value
}

func status(client *http.Client, url string) int {
	response := do(client, "GET", url, nil)
	response.Body.Close()
	return response.StatusCode
}

func headLength(client *http.Client, url string) (int64, error) {
	response := do(client, "HEAD", url, nil)
	return response.ContentLength, response.Body.Close()
}

func trailers(client *http.Client, url string) string {
	response := do(client, "GET", url, nil)
	defer response.Body.Close()
	_, err := io.Copy(io.Discard, response.Body)
	check(err)
	return response.Trailer.Get("x-checksum")
}

func sendTrailers(client *http.Client, url string) any {
	request, err := http.NewRequest("POST", url, io.MultiReader(bytes.NewReader([]byte("hello"))))
	check(err)
	request.Trailer = http.Header{"X-Sum": []string{"abc"}}
	response, err := client.Do(request)
	check(err)
	defer response.Body.Close()
	var value map[string]any
	check(json.NewDecoder(response.Body).Decode(&value))
	return value["trailers"]
}

func interim(client *http.Client, url string) []int {
	codes := []int{}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		codes = append(codes, code)
		return nil
	}}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(context.Background(), trace), "GET", url, nil)
	check(err)
	response, err := client.Do(request)
	check(err)
	response.Body.Close()
	return append(codes, response.StatusCode)
}

func expectation(client *http.Client, url string, body []byte) any {
	request, err := http.NewRequest("POST", url, bytes.NewReader(body))
	check(err)
	request.Header.Set("Expect", "100-continue")
	response, err := client.Do(request)
	check(err)
	defer response.Body.Close()
	var value map[string]any
	check(json.NewDecoder(response.Body).Decode(&value))
	return value["sha256"]
}

func early(client *http.Client, url string, body []byte) int {
	request, err := http.NewRequest("POST", url, bytes.NewReader(body))
	check(err)
	request.Header.Set("Expect", "100-continue")
	response, err := client.Do(request)
	check(err)
	response.Body.Close()
	return response.StatusCode
}

func breaks(client *http.Client, url string) bool {
	response := do(client, "GET", url, nil)
	defer response.Body.Close()
	_, err := io.ReadAll(response.Body)
	return err != nil
}

func refusal(client *http.Client, url string) string {
	response, err := client.Get(url)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	return response.Header.Get("x-deny-reason")
}
