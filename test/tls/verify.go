// Verifies leaves with crypto/tls: lines of "host port anchor.pem" on standard input, one line of result each.
package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
)

func main() {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		fmt.Println(words[0], verify(words[0], words[1], words[2]))
	}
}

func verify(host, port, anchor string) string {
	pem, err := os.ReadFile(anchor)
	if err != nil {
		return err.Error()
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return "no certificate in " + anchor
	}
	connection, err := tls.Dial("tcp", "127.0.0.1:"+port, &tls.Config{RootCAs: roots, ServerName: host})
	if err != nil {
		return err.Error()
	}
	defer connection.Close()
	return "ok"
}
