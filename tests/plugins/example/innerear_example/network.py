"""The network of the family."""

from transformers import AutoConfig, HubertConfig, HubertForCTC, HubertModel


class ExampleConfig(HubertConfig):
    model_type = "example-hubert"


class ExampleModel(HubertModel):
    config_class = ExampleConfig


class ExampleForCTC(HubertForCTC):
    config_class = ExampleConfig


AutoConfig.register("example-hubert", ExampleConfig)
