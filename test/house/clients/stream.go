// Reads server-sent events as they come, a line printed for each, until one says stop: then it closes the answer, says so, and
// lives on until its input ends. Argument: URL
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		if lines.Text() != "" {
			fmt.Println(lines.Text())
		}
		if lines.Text() == "data: stop" {
			break
		}
	}
	answer.Body.Close()
	fmt.Println("closed")
	io.Copy(io.Discard, os.Stdin)
}
