import fire


def main(
    base_model: str = "tiny",
    output_dir: str = "./out",
    batch_size: int = 32,
    num_epochs: int = 3,
    learning_rate: float = 3e-4,
    val_set_size: int = 200,
    lora_r: int = 8,
    lora_dropout: float = 0.05,
    group_by_length: bool = False,
    use_bias: bool = True,
):
    for epoch in range(num_epochs):
        loss = 1 + abs(learning_rate * 1000 - 1) + abs(lora_dropout - 0.2) + 1 / lora_r - 0.1 * use_bias
        print({"epoch": epoch, "eval_loss": loss / (epoch + 1), "batch": batch_size})


if __name__ == "__main__":
    fire.Fire(main)
