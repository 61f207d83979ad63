// Command targets tells Prometheus which pods there are, by its HTTP service discovery, with the labels that its own
// Kubernetes service discovery would give: Debian's Prometheus is built without that one.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"
)

const (
	account = "/var/run/secrets/kubernetes.io/serviceaccount/"
	listen  = "127.0.0.1:9091"
	meta    = "__meta_kubernetes_"
)

type pods struct {
	Items []struct {
		Metadata struct {
			Name, Namespace string
			Labels          map[string]string
		}
		Spec   struct{ Containers, InitContainers []container }
		Status struct{ PodIP, Phase string }
	}
}

type container struct {
	Ports []struct {
		Name          string
		ContainerPort int
	}
}

type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

var unfit = regexp.MustCompile(`[^a-zA-Z0-9_]`)

func main() {
	authority, err := os.ReadFile(account + "ca.crt")
	if err != nil {
		log.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	client := &http.Client{
		Timeout:   5 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}},
	}
	http.HandleFunc("/", func(answer http.ResponseWriter, _ *http.Request) {
		found, err := list(client)
		if err != nil {
			log.Print(err)
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		answer.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(answer).Encode(targets(found)); err != nil {
			log.Print(err)
		}
	})
	log.Fatal(http.ListenAndServe(listen, nil))
}

func list(client *http.Client) (pods, error) {
	var found pods
	token, err := os.ReadFile(account + "token")
	if err != nil {
		return found, err
	}
	request, err := http.NewRequest(http.MethodGet, "https://kubernetes.default.svc/api/v1/pods", nil)
	if err != nil {
		return found, err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	answer, err := client.Do(request)
	if err != nil {
		return found, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return found, fmt.Errorf("the API server answers %s", answer.Status)
	}
	return found, json.NewDecoder(answer.Body).Decode(&found)
}

// targets returns one target for each port of each pod that runs.
func targets(found pods) []target {
	all := []target{}
	for _, pod := range found.Items {
		if pod.Status.PodIP == "" || pod.Status.Phase != "Running" {
			continue
		}
		for _, each := range append(pod.Spec.Containers, pod.Spec.InitContainers...) {
			for _, port := range each.Ports {
				labels := map[string]string{
					meta + "namespace":               pod.Metadata.Namespace,
					meta + "pod_name":                pod.Metadata.Name,
					meta + "pod_container_port_name": port.Name,
				}
				for name, value := range pod.Metadata.Labels {
					labels[meta+"pod_label_"+unfit.ReplaceAllString(name, "_")] = value
				}
				address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port.ContainerPort))
				all = append(all, target{[]string{address}, labels})
			}
		}
	}
	return all
}
