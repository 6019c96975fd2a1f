// The real grpc-gateway in front of our services, as the tests compare ours with it: default options throughout.
//
//	grpcgateway orchestrator=HOST:PORT approval=HOST:PORT backup=HOST:PORT
//
// Listens on a free port of the loopback, prints its address, and ends when its input does, so that it outlives
// nobody who started it. tools/grpcgateway/build.py generates the handlers and builds it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	// The details of errors, which are only written if their types are known.
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

type register func(context.Context, *runtime.ServeMux, string, []grpc.DialOption) error

// handlers are the services with HTTP rules, by the process that serves them; the generated code fills it.
var handlers = map[string][]register{}

func main() {
	if err := serve(os.Args[1:]); err != nil {
		log.Fatal(err)
	}
}

func serve(arguments []string) error {
	mux := runtime.NewServeMux(runtime.WithIncomingHeaderMatcher(runtime.LegacyHeaderMatcher))
	plain := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	addresses := map[string]string{}
	for _, argument := range arguments {
		name, address, _ := strings.Cut(argument, "=")
		addresses[name] = address
	}
	for name, services := range handlers {
		for _, service := range services {
			if err := service(context.Background(), mux, addresses[name], plain); err != nil {
				return err
			}
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr())
	server := &http.Server{Handler: mux}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
